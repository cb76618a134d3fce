"""The application in the real MicroPython VM: `shim.py` runs inside it, `engine.py` is the modem's end of the link."""
