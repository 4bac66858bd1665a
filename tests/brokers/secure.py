"""One Apache Kafka node that lets in only SASL_SSL with SCRAM-SHA-512 and does only what an ACL allows."""

import subprocess
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.brokers.kafka import ClientConfig, Kafka
from tests.brokers.maven import program

ADMIN, ADMIN_PASSWORD = "admin", "admin-secret"
_MECHANISM = "SCRAM-SHA-512"


class SecureKafka(Kafka):
    """`ca_file` is what a client must trust; `add_user` and `allow` make users and their rights."""

    def __init__(self) -> None:
        super().__init__()
        self.ca_file = self.folder / "ca.pem"
        self._key_store = _certificates(self.folder)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        login = f'required username="{ADMIN}" password="{ADMIN_PASSWORD}"'
        self._extra.update(
            {
                "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
                "sasl.enabled.mechanisms": _MECHANISM,
                "sasl.mechanism.inter.broker.protocol": _MECHANISM,
                "sasl.mechanism.controller.protocol": "PLAIN",
                f"listener.name.client.{_MECHANISM.lower()}.sasl.jaas.config": f"{scram} {login};",
                "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
                "listener.name.controller.plain.sasl.jaas.config": f'{plain} {login} user_{ADMIN}="{ADMIN_PASSWORD}";',
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(self._key_store),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(self.ca_file),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": f"User:{ADMIN}",
            }
        )

    def client_config(self) -> ClientConfig:
        return self.config_of(ADMIN, ADMIN_PASSWORD)

    def config_of(self, user: str, password: str) -> ClientConfig:
        """librdkafka's settings of a client that logs in as `user`."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": _MECHANISM,
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.ca_file),
        }

    def add_user(self, user: str, password: str) -> None:
        """Makes a user (or changes its password) with no rights."""
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, credential, password.encode())
        admin = AdminClient(self.client_config())  # held: its futures fail when it is collected
        admin.alter_user_scram_credentials([change])[user].result(timeout=20)

    def allow(self, user: str, kind: ResourceType, prefix: str, *operations: AclOperation) -> None:
        """Allows `operations` on every resource of a kind whose name begins with `prefix`.

        The cluster's only name is `kafka-cluster`, and it is matched whole.
        """
        pattern = ResourcePatternType.LITERAL if kind == ResourceType.BROKER else ResourcePatternType.PREFIXED
        allow = AclPermissionType.ALLOW
        rules = [
            AclBinding(kind, prefix, pattern, f"User:{user}", "*", operation, allow)
            for operation in operations
        ]
        admin = AdminClient(self.client_config())
        for future in admin.create_acls(rules).values():
            future.result(timeout=20)

    def _format_arguments(self) -> list[str]:
        return ["--add-scram", f"{_MECHANISM}=[name={ADMIN},password={ADMIN_PASSWORD}]"]


def _certificates(folder: Path) -> Path:
    """Makes ca.pem and a broker key store in PEM, signed by it for localhost; gives the key store."""
    _openssl(
        folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=intentflow-test-ca"
    )
    _openssl(folder, "req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=localhost")
    (folder / "san.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    sign = (
        "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san.ext -out broker.crt"
    )
    _openssl(folder, sign)
    _openssl(
        folder, "pkcs8 -topk8 -nocrypt -in broker.key -out broker.pk8"
    )  # the only key format Kafka reads
    store = folder / "keystore.pem"
    store.write_text("".join((folder / part).read_text() for part in ("broker.pk8", "broker.crt", "ca.pem")))
    return store


def _openssl(folder: Path, command: str) -> None:
    done = subprocess.run(
        [program("openssl"), *command.split()], cwd=folder, capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise RuntimeError(f"openssl {command} failed: {done.stderr}")
