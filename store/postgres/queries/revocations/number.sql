-- Held until the end of the transaction.
UPDATE revocation_numbers SET last = last + 1
RETURNING last
