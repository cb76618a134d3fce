"""What the firmware starts (/usr/main.py). Never updated over the air: all it does is start boot.py."""

import usr.boot

usr.boot.run()
