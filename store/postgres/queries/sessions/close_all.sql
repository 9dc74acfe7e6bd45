UPDATE sessions SET closed_ms = $1 WHERE closed_ms IS NULL
