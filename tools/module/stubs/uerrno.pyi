# `uerrno` (quecpython.md §1.2): Linux's numbers.
EPERM: int
ENOENT: int
EIO: int
EAGAIN: int
ENOMEM: int
EEXIST: int
ENODEV: int
EINVAL: int
EOPNOTSUPP: int
ECONNABORTED: int
ECONNRESET: int
ENOTCONN: int
ETIMEDOUT: int
ECONNREFUSED: int
EHOSTUNREACH: int
EALREADY: int
EINPROGRESS: int
