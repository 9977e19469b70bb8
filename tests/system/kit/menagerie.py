"""The certificates of zoo.txt, good and bad in every way it names, and the part of a configuration that knows them."""
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .certs import CLIENT, KEYS, SERVER, Authority, Credential, name_of, pem, self_signed, usage, write_pem

ALICE = "alice@example.org"
VARIANTS = [("rsa", "direct"), ("ec", "below"), ("ed25519", "direct"), ("rsa", "below"), ("ec", "direct"), ("ed25519", "below")]
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UPN, UTF8_MAILBOX = "1.3.6.1.4.1.311.20.2.3", "1.3.6.1.5.5.7.8.9"


def utf8_string(text):
    data = text.encode()
    return bytes([0x0C, len(data)]) + data


def other_name(oid, text):
    return x509.OtherName(x509.ObjectIdentifier(oid), utf8_string(text))


def raw_email(octets):
    """A subjectAltName with these octets as its rfc822Name, which no builder would make."""
    def long_form(tag, body):
        size = len(body)
        head = bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 255])
        return bytes([tag]) + head + body
    der = long_form(0x30, long_form(0x81, octets))
    return (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), der), False)


def octets(number):
    """Hex, two digits an octet, as `openssl x509 -serial` has it."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big").hex()


def subject(**attributes):
    return x509.Name([x509.NameAttribute(getattr(NameOID, k.upper()), v) for k, v in attributes.items()])


class Menagerie:
    """Makes one certificate of each name in `wanted`, {name: number of variants}, below `folder`.

    config() names them to a server; credentials is {(certificate, variant): Credential or None}."""

    def __init__(self, folder, wanted):
        self.folder = folder
        self.secrets = {kind: KEYS[kind]() for kind in ("rsa", "ec", "ed25519", "rsa1024")}
        self.folders = 0
        self.make_authorities()
        self.credentials = {}
        for turn, (name, count) in enumerate(wanted.items()):
            make = getattr(self, name.replace("-", "_"))
            for i in range(count):
                # Variants in their order; of a single one neither key nor depth is always the same.
                key, depth = VARIANTS[i if count > 1 else turn % len(VARIANTS)]
                self.key, self.ca = self.secrets[key], self.staff if depth == "direct" else self.branch
                self.credentials[name, f"{key}/{depth}" if count > 1 else key] = make()
        self.write_lists()

    # ---- authorities ----

    def place(self):
        """A folder of its own for each, as several are of one name."""
        self.folders += 1
        folder = self.folder / f"{self.folders}"
        folder.mkdir()
        return folder

    def authority(self, name, **more):
        return Authority(self.place(), name, secret=more.pop("secret", None) or KEYS["ec"](), **more)

    def make_authorities(self):
        self.staff = self.authority("Staff CA", secret=KEYS["rsa"]())
        self.branch = self.authority("Branch CA", parent=self.staff)
        self.namesake, self.third = self.authority("Staff CA"), self.authority("Staff CA")
        self.stranger = self.authority("Stranger CA")
        self.stranger_branch = self.authority("Stranger Branch CA", parent=self.stranger)
        self.closed = self.authority("Closed Branch CA", parent=self.staff)
        self.old = self.authority("Old Branch CA", parent=self.staff, days=(-30, -2))
        self.no_ca = self.authority("No CA", parent=self.staff, ca=False)
        self.last = self.authority("Last CA", parent=self.staff, path_length=0)
        self.too_deep = self.authority("Too Deep CA", parent=self.last)
        self.deep = self.authority("Deep CA", parent=self.branch)
        only = x509.NameConstraints([x509.RFC822Name("example.org")], None)
        self.narrow = self.authority("Narrow CA", parent=self.staff, more=[(only, True)])
        self.stale = self.authority("Stale CA", parent=self.staff)
        self.silent = self.authority("Silent CA", parent=self.staff)
        self.staff.revoke(type("Listed", (), {"serial": self.closed.x509.serial_number}))

    def write_lists(self):
        """No list of the silent one; the stale one's is past its date."""
        known = (self.staff, self.branch, self.closed, self.old, self.no_ca, self.last, self.too_deep, self.deep, self.narrow)
        self.crl = write_pem(self.folder / "staff.crl", *(ca.crl() for ca in known), self.stale.crl(days=-1))

    # ---- certificates: a method each, of the name in zoo.txt ----

    def issue(self, ca=None, name="alice", **more):
        ca = ca or self.ca
        more.setdefault("secret", self.key)
        here = Authority.__new__(Authority)
        here.__dict__.update(ca.__dict__, folder=self.place())
        return here.issue(name, **more)

    def nothing(self):
        return None

    def email(self):
        return self.issue(emails=[ALICE])

    def email_of_capitals(self):
        return self.issue(emails=["alice@EXAMPLE.Org"])

    def no_usages(self):
        return self.issue(emails=[ALICE], eku=None)

    def client_among_usages(self):
        return self.issue(emails=[ALICE], eku=[*SERVER, ANY_USAGE, *CLIENT])

    def no_key_usage(self):
        return self.issue(emails=[ALICE], key_usage=None)

    def email_utf8(self):
        return self.issue(names=[other_name(UTF8_MAILBOX, "\u00e9lise@example.org")])

    def device(self):
        return self.issue(dns=["cam-7.devices.example.org"])

    def job(self):
        return self.issue(names=[x509.UniformResourceIdentifier("spiffe://example.org/mail/backup")])

    def principal(self):
        return self.issue(names=[other_name(UPN, ALICE)])

    def user_id(self):
        return self.issue(subject=subject(user_id="alice"))

    def by_fingerprint(self):
        self.printer = self.issue(name="printer")
        return self.printer

    def by_issuer_and_number(self):
        self.scanner = self.issue(ca=self.branch, name="scanner")
        return self.scanner

    def pinned(self):
        self.pin = self_signed(self.place(), "pinned", [ALICE])
        return self.pin

    def pinned_key(self):
        self.key_pin = self_signed(self.place(), "pager", ["eve@example.org"])
        return self.key_pin

    def of_the_namesake_ca(self):
        return self.issue(ca=self.namesake, emails=[ALICE])

    def two_levels_below(self):
        return self.issue(ca=self.deep, emails=[ALICE])

    def inside_name_constraint(self):
        return self.issue(ca=self.narrow, emails=[ALICE])

    def two_emails(self):
        return self.issue(emails=[ALICE, "bob@example.org"])

    def two_principals(self):
        return self.issue(names=[other_name(UPN, ALICE), other_name(UPN, "bob@example.org")])

    def disabled(self):
        return self.issue(emails=["carol@example.org"])

    def disabled_certificate(self):
        self.lost = self.issue(emails=[ALICE])
        return self.lost

    def expired(self):
        return self.issue(emails=[ALICE], days=(-20, -2))

    def not_yet_valid(self):
        return self.issue(emails=[ALICE], days=(2, 20))

    def unknown_ca(self):
        return self.issue(ca=self.stranger if self.ca is self.staff else self.stranger_branch, emails=[ALICE])

    def third_namesake(self):
        return self.issue(ca=self.third, emails=[ALICE])

    def self_signed(self):
        return self_signed(self.place(), "self-signed", [ALICE])

    def revoked(self):
        made = self.issue(emails=[ALICE])
        self.ca.revoke(made)
        return made

    def intermediate_revoked(self):
        return self.issue(ca=self.closed, emails=[ALICE])

    def intermediate_expired(self):
        return self.issue(ca=self.old, emails=[ALICE])

    def intermediate_missing(self):
        # Nobody else shows this one: chains that were good are remembered.
        return self.issue(ca=self.authority("Unseen CA", parent=self.staff), emails=[ALICE], chain=False)

    def intermediate_no_ca(self):
        return self.issue(ca=self.no_ca, emails=[ALICE])

    def path_too_long(self):
        return self.issue(ca=self.too_deep, emails=[ALICE])

    def outside_constraint(self):
        return self.issue(ca=self.narrow, emails=["alice@example.net"])

    def unknown_critical(self):
        strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
        return self.issue(emails=[ALICE], more=[(strange, True)])

    def list_stale(self):
        return self.issue(ca=self.stale, emails=[ALICE])

    def list_missing(self):
        return self.issue(ca=self.silent, emails=[ALICE])

    def signature_damaged(self):
        made = self.issue(ca=self.staff, emails=[ALICE])
        der = bytearray(made.x509.public_bytes(serialization.Encoding.DER))
        der[-9] ^= 1
        cert = x509.load_der_x509_certificate(bytes(der))
        write_pem(made.certificate, pem(cert))
        return Credential(made.name, made.certificate, made.key, cert, made.emails)

    def server_usage(self):
        return self.issue(emails=[ALICE], eku=SERVER)

    def any_usage_only(self):
        return self.issue(emails=[ALICE], eku=[ANY_USAGE])

    def no_signing_usage(self):
        return self.issue(emails=[ALICE], key_usage=usage(key_agreement=True))

    def weak_key(self):
        return self.issue(emails=[ALICE], secret=self.secrets["rsa1024"])

    def weak_signature(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is weak is what we want
            return self.issue(ca=self.branch, emails=[ALICE], digest=hashes.SHA1())

    def no_names(self):
        return self.issue()

    def common_name_only(self):
        return self.issue(subject=name_of(ALICE))

    def foreign_device(self):
        return self.issue(dns=["cam-7.devices.example.net"])

    def email_with_nul(self):
        return self.issue(more=[raw_email(b"alice@example.org\0.example.net")])

    def email_with_control(self):
        return self.issue(more=[raw_email(b"alice\n@example.org")])

    def email_too_long(self):
        return self.issue(more=[raw_email(b"a" * 330 + b"@example.org")])

    def email_ill_utf8(self):
        return self.issue(more=[raw_email(b"al\xc0\xafice@example.org")])

    def utf8_of_ascii(self):
        return self.issue(names=[other_name(UTF8_MAILBOX, ALICE)])

    # ---- for the server ----

    def public_key_digest(self, credential):
        key = credential.x509.public_key().public_bytes(serialization.Encoding.DER,
                                                        serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(key)
        return digest.finalize().hex()

    def table(self, name, *lines):
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def config(self, config):
        """Blocks for everything but the listeners; returns the settings of each listener."""
        fingerprints = self.table("fingerprints", f"{self.printer.fingerprint} printer@example.org")
        numbers = self.table("numbers", f'"{octets(self.scanner.serial)};CN=Branch CA" scanner@example.org')
        keys = self.table("keys", f"{self.public_key_digest(self.key_pin)} pager@example.org")
        disabled = self.table("disabled", "Carol@example.org", self.lost.fingerprint)
        config.add(
            f'trust staff {{ ca = {{"{self.staff.file}"}}  crl = {{"{self.crl}"}} }}',
            f'trust namesake {{ ca = {{"{self.namesake.file}"}} }}',
            f'trust pins {{ pin = {{"sha256:{self.pin.fingerprint}", "sha256:{self.public_key_digest(self.key_pin)}"}} }}',
            f'identity printer {{ source = fingerprint  table = "{fingerprints}" }}',
            f'identity scanner {{ source = issuer-serial  table = "{numbers}" }}',
            f'identity key {{ source = public-key  table = "{keys}" }}',
            "identity email { source = san-email }",
            "identity utf8 { source = san-email-utf8 }",
            "identity principal { source = san-upn }",
            "identity device { source = san-dns  pattern = '(.+)\\.devices\\.example\\.org'  name = '$1@example.org' }",
            "identity job { source = san-uri  pattern = 'spiffe://example\\.org/mail/(.+)'  name = '$1@example.org' }",
            "identity uid { source = subject-uid  name = '$0@example.org' }")
        return {"trust": "{staff, namesake, pins}", "client_certificate": "request", "disabled": f'"{disabled}"'}
