"""A simulated Quectel module: real MicroPython VM or CPython, real littlefs, QuecPython's modules as behaviour."""
