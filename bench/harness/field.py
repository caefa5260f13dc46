"""Contestants that are measured together: started, warmed with the same bodies, asked in turns, ended."""
from . import contestants, processes


class Field:
    """@param origin what the caches have their bodies from; with it the others begin"""

    def __init__(self, origin):
        self.origin = origin
        self.all, self.etags = [], {}
        self.asked_of_origin = 0

    def add(self, contestant):
        self.all.append(contestant)

    def warm(self, bodies):
        """Everybody has every body, and it is the same one."""
        for c in self.all:
            for body in bodies:
                wanted = body.path.read_bytes()
                for _ in range(3):
                    status, fields, got = contestants.fetch(c.port, c.target(body))
                    if status != 200 or got != wanted:
                        raise RuntimeError(f"{c.name} {body.name}: {status}, {len(got)} bytes instead of {len(wanted)}")
                self.etags[c.name, body.name] = fields["ETag"]
        self.asked_of_origin = len(self.origin.requests())

    def check_hits(self):
        """Nothing that was measured went to the origin."""
        more = self.origin.requests()[self.asked_of_origin:]
        if more:
            raise RuntimeError("requests went to the origin, so some cache does not answer from its own:\n" + "\n".join(more[:20]))

    def memory(self):
        return {c.name: processes.pss_mib(c.pid) for c in self.all}

    def measure(self, client, body, request_of, rounds, connections, seconds, takes_part=lambda name: True):
        """Everybody once a round, every other round in reverse. @param request_of(etag) -> what Client.sample() takes @return {name: samples}"""
        taking = [c for c in self.all if takes_part(c.name)]
        samples = {c.name: [] for c in taking}
        for number in range(rounds):
            for c in taking if number % 2 == 0 else reversed(taking):
                request = request_of(self.etags[c.name, body.name])
                samples[c.name].append(client.sample(c, c.target(body), connections=connections, seconds=seconds, **request))
        return samples

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for c in [*self.all, self.origin]:
            c.stop()
