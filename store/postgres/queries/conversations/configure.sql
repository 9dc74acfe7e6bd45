-- What a change sets beside the head.
UPDATE conversations SET next_tag = $2, expiry_s = $3 WHERE id = $1
