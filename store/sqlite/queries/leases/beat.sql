UPDATE leases SET owner = ?1, name = ?2, heartbeat_ms = ?3 WHERE id = 1
