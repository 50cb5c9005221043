"""A small authority and its certificates (X.509, RFC 5280), for a lab's own hosts and targets."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError

_YEARS_OF_AUTHORITY, _DAYS_OF_CERTIFICATE = 10, 825
_AUTHORITY, _AUTHORITY_KEY = "ca.pem", "ca-key.pem"


class Authority:
    """What signs the certificates of one lab; made where there is none.

    Parameters
    ----------
    folder : Path
        Has ``ca.pem``, which everybody may have, and ``ca-key.pem``, which stays here.

    Raises
    ------
    OptionError
        What is there cannot be used, or nothing can be written.
    BackendMissingError
        The package ``cryptography`` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._x509: Any = backend("cryptography.x509", self)
        self._ec: Any = backend("cryptography.hazmat.primitives.asymmetric.ec", self)
        self._forms: Any = backend("cryptography.hazmat.primitives.serialization", self)
        self._hashes: Any = backend("cryptography.hazmat.primitives.hashes", self)
        self.path, self._folder = folder / _AUTHORITY, folder
        key_path = folder / _AUTHORITY_KEY
        if self.path.exists() != key_path.exists():
            raise OptionError(
                f"{folder} has one of {_AUTHORITY} and {_AUTHORITY_KEY}, and needs both or none."
            )
        if self.path.exists():
            try:
                self._certificate = self._x509.load_pem_x509_certificate(self.path.read_bytes())
                self._key = self._forms.load_pem_private_key(key_path.read_bytes(), None)
            except (OSError, ValueError, TypeError) as error:
                raise OptionError(f"The authority in {folder} cannot be read: {error}.") from error
            return
        self._key = self._ec.generate_private_key(self._ec.SECP256R1())
        name = self._named(f"edge_tester authority of {folder.resolve().name}")
        days = 365 * _YEARS_OF_AUTHORITY
        builder = self._builder(name, name, self._key, days).add_extension(
            self._x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(self._usage(signs=True), critical=True)
        self._certificate = self._sign(builder)
        write_new(key_path, self._pem_of_key(self._key))
        write_new(self.path, self._pem_of(self._certificate), secret=False)

    def certify(self, file: str, names: list[str], *, server: bool) -> Path:
        """Write a new key with its certificate into one file that only its owner can read.

        Parameters
        ----------
        file : str
            Name of the file in the folder.
        names : list of str
            Of a target: its host names and addresses. Of a host: what it is called.
        server : bool
            Whether it is for a target.

        Raises
        ------
        OptionError
            The file exists, or cannot be written.
        """
        x509 = self._x509
        key = self._ec.generate_private_key(self._ec.SECP256R1())
        builder = self._builder(
            self._named(names[0]), self._certificate.subject, key, _DAYS_OF_CERTIFICATE
        )
        oid = x509.oid.ExtendedKeyUsageOID
        purpose = oid.SERVER_AUTH if server else oid.CLIENT_AUTH
        alternatives = x509.SubjectAlternativeName([self._alternative(name) for name in names])
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (self._usage(signs=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (alternatives, False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        path = self._folder / file
        write_new(path, self._pem_of_key(key) + self._pem_of(self._sign(builder)))
        return path

    def _builder(self, name: Any, issuer: Any, key: Any, days: int) -> Any:
        x509, now = self._x509, datetime.datetime.now(datetime.timezone.utc)
        # A board's clock may be late.
        begin = now - datetime.timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(begin)
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(identifier, critical=False).add_extension(own, critical=False)

    def _sign(self, builder: Any) -> Any:
        return builder.sign(self._key, self._hashes.SHA256())

    def _usage(self, *, signs: bool) -> Any:
        return self._x509.KeyUsage(
            digital_signature=not signs,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=signs,
            crl_sign=signs,
            encipher_only=False,
            decipher_only=False,
        )

    def _named(self, name: str) -> Any:
        x509 = self._x509
        try:
            return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name[:64])])
        except ValueError as error:
            raise OptionError(f"A certificate cannot be made out to {name!r}: {error}.") from error

    def _alternative(self, name: str) -> Any:
        try:
            return self._x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            pass
        try:
            return self._x509.DNSName(name)
        except ValueError as error:
            raise OptionError(
                f"A certificate is made out to a host name or an address, got {name!r}: {error}."
            ) from error

    def _pem_of(self, certificate: Any) -> bytes:
        found: bytes = certificate.public_bytes(self._forms.Encoding.PEM)
        return found

    def _pem_of_key(self, key: Any) -> bytes:
        forms = self._forms
        found: bytes = key.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
        )
        return found


def write_new(path: Path, content: bytes, *, secret: bool = True) -> None:
    """Write a file that must not exist, readable by its owner alone from the first moment.

    Raises
    ------
    OptionError
        It exists, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(path, flags, 0o600 if secret else 0o644), "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise OptionError(f"{path} exists already, and is not replaced.") from error
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}.") from error
