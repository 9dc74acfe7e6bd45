UPDATE revocation_numbers SET last = last + 1
RETURNING last AS "last!: i64"
