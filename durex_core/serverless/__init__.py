"""durex in Lambda: one invocation of each function.

EventBridge and SQS are the loop that `durex_core.local` runs by itself.
"""
