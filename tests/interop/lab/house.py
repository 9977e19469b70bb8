"""Our own server in the lab: one listener for each policy that a client may meet, and Maildirs behind."""
from dataclasses import dataclass

from kit.server import Config, Server
from kit.wait import until

from .clients import Job
from .people import ALICE, CAROL

POLICIES = ("explicit", "implicit")


@dataclass
class Outcome:
    """What our server saw of one run of a client."""
    result: str  # "AUTH", "MAIL": delivered after that; "refused"
    said: str    # by the client
    shown: str   # by our log


class House:
    def __init__(self, bed, folder):
        self.bed = bed
        config = Config(folder, bed.people)
        config.trust(crl=False).spool().maildir("default")
        for policy in POLICIES:
            config.listener(policy, certificate_auth=policy, trust="{staff}")
        self.server = Server(config, "house").start()
        self.name = "postern serve"

    def meet(self, client, policy, token):
        """Runs a client against a listener, and follows what it did to the end."""
        log, mark = self.server.log, self.server.log.mark()
        said = client.send(Job(self.bed, client.release, self.server[policy].port, token, f"{client.name}-{policy}",
                               self.bed.inside(self.bed.people.server_ca.file)))[1]
        until(lambda: len(log.find("connect", mark)) == len(log.find("disconnect", mark)) > 0,
              lambda: f"the end of the connections of {client.name}, which said:\n{said}")
        shown = "\n".join(e.line for e in log.events[mark:])
        logins = log.find("login", mark)
        if client.submits and not log.find("accepted", mark) or not logins:
            return Outcome("refused", said, shown)
        if client.submits:
            message = self.server.mailbox(CAROL).wait(token)
            assert message["Subject"].strip() == token
        assert {e["identity"] for e in logins} == {ALICE}, shown
        return Outcome({"explicit": "AUTH", "implicit": "MAIL"}[logins[-1]["sequence"]], said, shown)

    def log(self):
        return "\n".join(self.server.log.lines[-40:])

    def close(self):
        self.server.end()
