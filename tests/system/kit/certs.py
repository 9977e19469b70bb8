"""A certificate zoo, made with python3-cryptography so that it owes nothing to the code under test."""
import datetime
import ipaddress
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)

KEYS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
CLIENT = [ExtendedKeyUsageOID.CLIENT_AUTH]
SERVER = [ExtendedKeyUsageOID.SERVER_AUTH]


def digest_for(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def name_of(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def write_pem(path, *pieces):
    path.write_bytes(b"".join(pieces))
    return path


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


@dataclass
class Credential:
    """A certificate with its key, as files: what a client or a server is configured with."""
    name: str
    certificate: Path  # with its intermediates behind it
    key: Path
    x509: x509.Certificate
    emails: list = field(default_factory=list)

    @property
    def fingerprint(self):
        return self.x509.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self):
        return self.x509.serial_number


def names_like(name):
    """Certificates of one name do not take each other's place: tests share the folder."""
    yield name
    yield from (f"{name}-{n}" for n in itertools.count(2))


class Authority:
    """A CA, or an intermediate below one; `more` are extensions (value, critical) beside the usual."""

    def __init__(self, folder, name, parent=None, key="ec", secret=None, ca=True, path_length=None,
                 days=(-30, 3650), more=()):
        self.folder, self.name, self.parent = Path(folder), name, parent
        self.key = secret or KEYS[key]()
        signer = parent or self
        self.subject = name_of(name)
        builder = (
            x509.CertificateBuilder().subject_name(self.subject)
            .issuer_name(signer.subject).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + days[0] * DAY).not_valid_after(NOW + days[1] * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
                           critical=False))
        for value, critical in more:
            builder = builder.add_extension(value, critical)
        self.x509 = builder.sign(signer.key, digest_for(signer.key))
        self.revoked = []
        self.file = write_pem(self.folder / f"{slug(name)}.pem", pem(self.x509))

    def issue(self, name, emails=(), dns=(), ips=(), eku=CLIENT, key="ec", days=(-1, 365), chain=True,
              secret=None, subject=None, names=(), key_usage=True, digest=None, more=()):
        """names: of other kinds than the three before; chain: the intermediates are in the file, too."""
        secret = secret or KEYS[key]()
        builder = (
            x509.CertificateBuilder().subject_name(subject or name_of(name)).issuer_name(self.subject)
            .public_key(secret.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(NOW + days[0] * DAY).not_valid_after(NOW + days[1] * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                           critical=False))
        if key_usage:
            builder = builder.add_extension(usage(digital_signature=True) if key_usage is True else key_usage, critical=True)
        names = [*names, *(x509.RFC822Name(e) for e in emails), *(x509.DNSName(d) for d in dns)]
        names += [x509.IPAddress(ipaddress.ip_address(i)) for i in ips]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        for value, critical in more:
            builder = builder.add_extension(value, critical)
        cert = builder.sign(self.key, digest or digest_for(self.key))
        behind = [pem(c.x509) for c in self.intermediates()] if chain else []
        unused = next(n for n in names_like(slug(name)) if not (self.folder / f"{n}.crt").exists())
        return Credential(name,
                          write_pem(self.folder / f"{unused}.crt", pem(cert), *behind),
                          write_pem(self.folder / f"{unused}.key", key_pem(secret)),
                          cert, list(emails))

    def intermediates(self):
        """From this one up, the root left out."""
        return [self, *self.parent.intermediates()] if self.parent else []

    def revoke(self, credential):
        self.revoked.append(credential.serial)

    def crl(self, days=30):
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.subject)
                   .last_update(NOW - 10 * DAY).next_update(NOW + days * DAY))
        for serial in self.revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build())
        return pem(builder.sign(self.key, digest_for(self.key)))


def usage(**on):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{n: on.get(n, False) for n in names})


def slug(name):
    return "".join(c if c.isalnum() else "-" for c in name.lower())


class Zoo:
    """Every kind of client certificate a submission server meets, and the server's own."""

    def __init__(self, folder):
        self.folder = folder = Path(folder)
        self.staff = Authority(folder, "Staff CA")
        self.branch = Authority(folder, "Staff Branch CA", parent=self.staff)
        self.stranger = Authority(folder, "Stranger CA")
        self.server_ca = Authority(folder, "Server CA")
        self.server = self.issue_server("server")
        issue, alice = self.staff.issue, ["alice@example.org"]
        self.client = {
            "good": issue("good", alice),
            "rsa": issue("rsa", alice, key="rsa"),
            "p384": issue("p384", alice, key="p384"),
            "ed25519": issue("ed25519", alice, key="ed25519"),
            "no-eku": issue("no-eku", alice, eku=None),
            "chain": self.branch.issue("chain", alice),
            "expired": issue("expired", alice, days=(-20, -2)),
            "future": issue("future", alice, days=(2, 20)),
            "unknown-ca": self.stranger.issue("unknown-ca", alice),
            "no-chain": self.branch.issue("no-chain", alice, chain=False),
            "self-signed": self_signed(folder, "self-signed", alice),
            "revoked": issue("revoked", alice),
            "server-only": issue("server-only", alice, eku=SERVER),
            "no-san": issue("alice@example.org"),
            "dns-only": issue("dns-only", dns=["alice.example.org"]),
            "two-sans": issue("two-sans", ["alice@example.org", "bob@example.org"]),
            "bob": issue("bob", ["bob@example.org"]),
            "peer": issue("peer", dns=["mta.partner.test"]),
            "stranger-peer": self.stranger.issue("stranger-peer", dns=["mta.stranger.test"]),
        }
        self.client["none"] = None
        self.staff.revoke(self.client["revoked"])
        self.crl = folder / "staff.crl.pem"
        self.write_crl()

    def write_crl(self):
        """Both lists in one file: the judge wants one in date from the issuer of whatever is presented."""
        write_pem(self.crl, self.staff.crl(), self.branch.crl())

    def issue_server(self, name, **more):
        return self.server_ca.issue(name, dns=["localhost", "mail.example.org"], ips=["127.0.0.1", "::1"],
                                    eku=SERVER, **more)

    def __getitem__(self, name):
        return self.client[name]


def self_signed(folder, name, emails):
    issuer = Authority.__new__(Authority)
    issuer.folder, issuer.name, issuer.parent, issuer.revoked = folder, name, None, []
    issuer.key, issuer.subject = KEYS["ec"](), name_of(name)
    made = issuer.issue(name, emails)
    # Signed again with its own key, under its own name: the certificate is its own issuer.
    cert = (x509.CertificateBuilder().subject_name(issuer.subject).issuer_name(issuer.subject)
            .public_key(issuer.key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY).not_valid_after(NOW + 365 * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(e) for e in emails]), critical=False)
            .sign(issuer.key, hashes.SHA256()))
    write_pem(made.certificate, pem(cert))
    write_pem(made.key, key_pem(issuer.key))
    return Credential(name, made.certificate, made.key, cert, list(emails))
