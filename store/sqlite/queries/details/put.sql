INSERT INTO details (
    conversation_id, title, title_seq, description, description_seq, history, changed_seq
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (conversation_id) DO UPDATE SET
    title = excluded.title,
    title_seq = excluded.title_seq,
    description = excluded.description,
    description_seq = excluded.description_seq,
    history = excluded.history,
    changed_seq = excluded.changed_seq
