"""Whose certificates the lab knows: one person whom every kind of server can name, and those who must stay outside."""
from kit.certs import SERVER, Authority, key_pem, write_pem

ALICE, CAROL = "alice@example.org", "carol@elsewhere.example"


class People:
    """The name is in the subject and in the SAN, since the servers differ in where they look."""

    def __init__(self, folder):
        self.folder = folder
        self.server_ca = Authority(folder, "Lab Server CA")
        self.staff = Authority(folder, "Lab Staff CA")
        self.staff_key = write_pem(folder / "lab-staff-ca.key", key_pem(self.staff.key))
        self.stranger = Authority(folder, "Lab Stranger CA")
        self.server = self.server_ca.issue("server", dns=["localhost", "mail.example.org"], ips=["127.0.0.1"], eku=SERVER,
                                            key="rsa")  # OpenSMTPD 6.8 signs with no other
        self.alice = self.staff.issue(ALICE, [ALICE])
        self.strangers = self.stranger.issue("stranger " + ALICE, [ALICE])
        for path in folder.iterdir():
            path.chmod(0o644)  # programs that have dropped root read keys too, and nothing here is secret

    @property
    def fingerprint(self):
        """As Postfix writes it."""
        digits = self.alice.fingerprint.upper()
        return ":".join(digits[i:i + 2] for i in range(0, len(digits), 2))
