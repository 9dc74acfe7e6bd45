UPDATE conversations SET group_version = group_version + 1 WHERE id = ?1
