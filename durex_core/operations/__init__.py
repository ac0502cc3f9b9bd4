"""Operations: what the Python API, the HTTP API, the command line and the dashboard all call."""
