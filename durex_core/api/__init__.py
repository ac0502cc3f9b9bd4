"""The HTTP API: the same routes under uvicorn on a laptop and in Lambda behind API Gateway."""
