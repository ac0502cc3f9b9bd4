-- Whether a command was claimed with more than its worker could begin at once, so that it may never have begun.
ALTER TABLE commands ADD COLUMN claimed_ahead INTEGER NOT NULL DEFAULT 0
