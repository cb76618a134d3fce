"""What was saved, held against what is expected. No I/O."""


def of_type(saved: dict, kind) -> dict:
    """Those entries whose value is of this type."""
    return {name: value for name, value in saved.items() if type(value) is kind}


def shaped(saved, like: dict) -> dict:
    """What a record should hold: `like` with the values of `saved` that are of the same types. A record that another
    version of this tree has written, or nobody we know, must not end a wake."""
    out = dict(like)
    for name in like:
        if saved is not None and type(saved.get(name)) is type(like[name]):
            out[name] = saved[name]
    return out
