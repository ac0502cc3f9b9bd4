-- Whether a command was claimed with more than its worker could begin at once, so that it may never have begun.
ALTER TABLE durex.commands ADD COLUMN claimed_ahead boolean NOT NULL DEFAULT false;
