-- Those that are too many: up to and with the place ?3.
DELETE FROM notices WHERE user_id = ?1 AND feed = ?2 AND seq <= ?3
