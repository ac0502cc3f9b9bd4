-- The present.
SELECT :now AS present_at
