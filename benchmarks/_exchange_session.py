"""A session process that answers every DATA with 4 KB, so that one exchange can be timed."""

import sys

from edge_tester.core.agent.session import Session
from edge_tester.core.agent.session_process import main
from edge_tester.core.wire.frames import Message

REPLY = bytes(4096)


class ExchangeSession(Session):
    """The real session but for its answer to DATA."""

    def _on_data(self, message: Message) -> None:
        self._channel.take(message.length)
        self._answer(message, [REPLY])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], ExchangeSession))
