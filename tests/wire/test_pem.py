# SPDX-License-Identifier: Apache-2.0
"""Keys that ssh-keygen and OpenSSL wrote, and one kind of error for everything else."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import warnings

import pytest
from cryptography.hazmat.primitives.asymmetric import dh, dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from pausectl.errors import Malformed
from pausectl.wire import pem
from pausectl.wire.keys import ED25519, LOW_ORDER, PrivateKey, PublicKey

SEED = hashlib.sha256(b"pausectl-demo").digest()
KEY = PrivateKey.from_seed(ED25519, SEED)
FOREIGN = Ed25519PrivateKey.from_private_bytes(SEED)
SSH_KEYGEN = shutil.which("ssh-keygen")
OPENSSL = shutil.which("openssl")

LINE = pem.to_openssh(KEY.public)
BLOCK = pem.to_pem(KEY.public)
PKCS8 = FOREIGN.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LOCKED = FOREIGN.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
SSH = FOREIGN.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def others():
    with warnings.catch_warnings(action="ignore"):
        return {
            "rsa": rsa.generate_private_key(65537, 2048),
            "dsa": dsa.generate_private_key(1024),  # noqa: S505
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "ed448": ed448.Ed448PrivateKey.generate(),
            "x25519": x25519.X25519PrivateKey.generate(),
            "dh": dh.generate_parameters(2, 512).generate_private_key(),
        }


@given(st.binary(min_size=32, max_size=32))
def test_public_round_trips(seed):
    public = PrivateKey.from_seed(ED25519, seed).public
    foreign = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    assert pem.to_openssh(public).encode() == foreign.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert pem.to_pem(public).encode() == foreign.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem.public_from_openssh(pem.to_openssh(public)) == public
    assert pem.public_from_pem(pem.to_pem(public)) == public


@given(st.binary(min_size=32, max_size=32))
def test_private_keys_come_in(seed):
    foreign = Ed25519PrivateKey.from_private_bytes(seed)
    for form in (PrivateFormat.PKCS8, PrivateFormat.OpenSSH):
        data = foreign.private_bytes(Encoding.PEM, form, NoEncryption())
        assert pem.private_from_pem(data, None) == PrivateKey.from_seed(ED25519, seed)


def test_the_example_of_the_module():
    assert f"\n    {LINE}\n" in pem.__doc__


def test_published_keys(shared):
    for name, seed in (("pub", b"pausectl-demo"), ("p0", b"k0"), ("p1", b"k1"), ("p2", b"k2")):
        text = shared(f"vectors/dsse/{name}.pem").read_text()
        public = PrivateKey.from_seed(ED25519, hashlib.sha256(seed).digest()).public
        assert pem.public_from_pem(text) == public
        assert pem.to_pem(public) == text
    with pytest.raises(Malformed, match="expected Ed25519, found EC"):
        pem.public_from_pem(shared("vectors/dsse/p256.pem").read_text())


@pytest.mark.skipif(SSH_KEYGEN is None, reason="no ssh-keygen")
def test_keys_of_ssh_keygen(tmp_path):
    path = tmp_path / "id"
    subprocess.run([SSH_KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", str(path)], check=True)
    line = path.with_suffix(".pub").read_text()
    public = pem.public_from_openssh(line)
    assert line == f"{pem.to_openssh(public)} a comment\n"
    assert pem.private_from_pem(path.read_bytes(), None).public == public


@pytest.mark.skipif(SSH_KEYGEN is None, reason="no ssh-keygen")
def test_an_encrypted_key_of_ssh_keygen(tmp_path):
    """It opens where bcrypt is installed; where not, the hint says what to do."""
    path = tmp_path / "id"
    subprocess.run([SSH_KEYGEN, "-q", "-t", "ed25519", "-N", "secret", "-a", "1", "-f", str(path)], check=True)
    with pytest.raises(Malformed):
        pem.private_from_pem(path.read_bytes(), None)
    if importlib.util.find_spec("bcrypt") is None:
        with pytest.raises(Malformed, match="encryption is not supported") as error:
            pem.private_from_pem(path.read_bytes(), b"secret")
        assert "ssh-keygen -p" in error.value.hint
    else:
        key = pem.private_from_pem(path.read_bytes(), b"secret")
        assert key.public == pem.public_from_openssh(path.with_suffix(".pub").read_text())


@pytest.mark.skipif(OPENSSL is None, reason="no openssl")
def test_keys_of_openssl(tmp_path):
    plain, locked, public = tmp_path / "plain", tmp_path / "locked", tmp_path / "public"
    subprocess.run([OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", plain], check=True)
    subprocess.run([OPENSSL, "pkey", "-in", plain, "-pubout", "-out", public], check=True)
    subprocess.run([OPENSSL, "pkey", "-in", plain, "-aes256", "-passout", "pass:secret", "-out", locked], check=True)
    key = pem.private_from_pem(plain.read_bytes(), None)
    assert pem.private_from_pem(locked.read_bytes(), b"secret") == key
    assert pem.to_pem(key.public) == public.read_text()


def test_public_keys_may_be_laid_out_otherwise():
    for line in (f"{LINE}\n", f"  {LINE} lab-a  laptop\r\n", LINE.replace(" ", "\t")):
        assert pem.public_from_openssh(line) == KEY.public
    for block in (BLOCK.strip(), BLOCK.replace("\n", "\r\n"), f"\n{BLOCK}\n"):
        assert pem.public_from_pem(block) == KEY.public


def ssh_line(kind, *parts):
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, *parts))
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


LINES = {
    "nothing": "",
    "spaces": " \n ",
    "the name alone": "ssh-ed25519",
    "two lines": f"{LINE}\n{LINE}\n",
    "a comment line first": f"# x\n{LINE}",
    "options first": f"no-pty {LINE}",
    "another algorithm": LINE.replace("ssh-ed25519", "ssh-rsa"),
    "a certificate": LINE.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"),
    "not base64": "ssh-ed25519 !!!!",
    "not ascii": f"{LINE[:-1]}é",
    "base64 with rubbish": LINE[:30] + "!" + LINE[30:],
    "cut short": LINE[:-4],
    "longer": f"{LINE}AAAA",
    "a short key": ssh_line(b"ssh-ed25519", bytes(31)),
    "two keys": ssh_line(b"ssh-ed25519", KEY.public.raw, KEY.public.raw),
    "another name inside": f"ssh-ed25519 {ssh_line(b'ssh-rsa', KEY.public.raw).split()[1]}",
    "a point of small order": ssh_line(b"ssh-ed25519", min(LOW_ORDER)),
    "long": f"{LINE} {'x' * 20_000}",
    "null": f"{LINE[:40]}\0{LINE[40:]}",
}


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_refused_openssh_lines(text):
    with pytest.raises(Malformed):
        pem.public_from_openssh(text)


@pytest.mark.parametrize(
    "name", ["nothing", "two lines", "options first", "another algorithm", "a certificate", "long"]
)
def test_a_line_of_another_kind_is_told_what_was_expected(name):
    with pytest.raises(Malformed, match="expected one line 'ssh-ed25519 BASE64', found"):
        pem.public_from_openssh(LINES[name])


BLOCKS = {
    "nothing": "",
    "two blocks": BLOCK + BLOCK,
    "text before": f"my key\n{BLOCK}",
    "text after": f"{BLOCK}\nmy key",
    "no end": BLOCK[:-10],
    "a private key": PKCS8.decode(),
    "an openssh line": LINE,
    "not ascii": f"{BLOCK}é",
    "a certificate": BLOCK.replace("PUBLIC KEY", "CERTIFICATE"),
    "longer": BLOCK.replace("\n-----END", "AAAA\n-----END"),
    "long": BLOCK + "\n" * 20_000,
    "a point of small order": f"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA{'A' * 43}=\n-----END PUBLIC KEY-----\n",
}


@pytest.mark.parametrize("text", BLOCKS.values(), ids=BLOCKS)
def test_refused_pem_blocks(text):
    with pytest.raises(Malformed):
        pem.public_from_pem(text)


def test_other_algorithms_are_named():
    for name, key in others().items():
        block = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        message = "expected (one PUBLIC|PKCS#8)" if name == "dh" else "expected Ed25519, found [A-Z]"
        with pytest.raises(Malformed, match=message):
            pem.public_from_pem(block)
        with pytest.raises(Malformed, match=message):
            pem.private_from_pem(data, None)


def test_passphrases():
    assert pem.private_from_pem(LOCKED, b"secret") == KEY
    for data, password in ((LOCKED, None), (LOCKED, b""), (LOCKED, b"wrong"), (PKCS8, b"secret"), (SSH, b"secret")):
        with pytest.raises(Malformed, match="the right passphrase") as error:
            pem.private_from_pem(data, password)
        assert "if, and only if, it is encrypted" in error.value.hint


def test_an_export_of_another_suite_is_refused():
    class Other:
        suite = "ml-dsa-44"
        raw = bytes(1312)

    for write in (pem.to_openssh, pem.to_pem):
        with pytest.raises(Malformed, match="expected an ed25519 key, found ml-dsa-44"):
            write(Other())


X448_AROUND_32_BYTES = PKCS8.replace(b"MC4CAQAwBQYDK2Vw", b"MC4CAQAwBQYDK2Vv")


def test_a_frame_that_openssl_calls_an_internal_error():
    assert X448_AROUND_32_BYTES != PKCS8
    with pytest.raises(Malformed):
        pem.private_from_pem(X448_AROUND_32_BYTES, None)


SAMPLES = [LINE.encode(), BLOCK.encode(), PKCS8, SSH]


@given(st.sampled_from(SAMPLES), st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4))
@example(X448_AROUND_32_BYTES, 0, 0, b"")
@example(b"-----BEGIN OPENSSH PRIVATE KEY-----", 0, 0, b"")
def test_bytes_are_a_key_or_malformed(sample, at, gone, new):
    raw = sample[:at] + new + sample[at + gone :]
    text = raw.decode("latin-1")
    for read in (pem.public_from_openssh, pem.public_from_pem):
        try:
            public = read(text)
        except Malformed:
            continue
        assert isinstance(public, PublicKey)
    for password in (None, b"x"):
        try:
            key = pem.private_from_pem(raw, password)
        except Malformed:
            continue
        assert isinstance(key, PrivateKey)


@given(st.binary(max_size=60), st.text(max_size=60))
def test_anything_at_all_is_malformed(raw, text):
    for read, value in ((pem.public_from_openssh, text), (pem.public_from_pem, text)):
        with pytest.raises(Malformed):
            read(value)
    with pytest.raises(Malformed):
        pem.private_from_pem(raw, None)
