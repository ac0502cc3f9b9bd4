-- The present, as all statements of this transaction see it.
SELECT :now AS present_at
