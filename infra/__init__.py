"""The stack of durex on AWS: one construct for each role, settings as typed values, and checks that refuse at synth."""
