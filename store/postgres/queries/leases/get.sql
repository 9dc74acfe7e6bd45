SELECT owner, name, heartbeat_ms FROM leases WHERE id = 1
