SELECT EXISTS (
    SELECT 1 FROM sessions
    WHERE
        user_id = ?1 AND device_id = ?2
        AND closed_ms IS NOT NULL AND closed_ms + expiry_s * 1000 <= ?3
) AS "expired!: bool"
