-- What a commit does, for a conversation that there is not; to be undone.
INSERT INTO messages (
    conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, number, body_gone,
    body
)
VALUES (zeroblob(16), 0, zeroblob(16), 0, '', '', '', 0, zeroblob(16), 0, 1, x'')
