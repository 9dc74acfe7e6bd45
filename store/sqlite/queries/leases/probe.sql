UPDATE leases SET probed_ms = ?1 WHERE id = 1
