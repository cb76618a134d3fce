"""`modem`: the module's own identity (quecpython.md §3.2): str, or -1."""

from tools.module.board import Firmware


class Modem(Firmware):
    NAME = "modem"

    def getDevImei(self) -> str | int:
        return self.board.identity.imei or -1

    def getDevModel(self) -> str | int:
        return self.board.profile.name

    def getDevSN(self) -> str | int:
        """Serial number; the form is an estimate."""
        return "D1X" + self.board.identity.imei[-11:]

    def getDevFwVersion(self) -> str | int:
        return self.board.profile.firmware_version

    def getDevProductId(self) -> str | int:
        return "QUECTEL"
