"""A session process that answers every DATA with 4 KB, so that one exchange can be timed."""

import sys
from typing import Any

from edge_tester.core.agent.session_process import main

REPLY = bytes(4096)


def exchange_session(*arguments: Any) -> Any:
    """Return the real session but for its answer to DATA.

    What it is made from is imported late, once the process is isolated.
    """
    from edge_tester.core.agent.session import Session
    from edge_tester.core.wire.frames import Message

    class ExchangeSession(Session):
        def _on_data(self, message: Message) -> None:
            self._channel.take(message.length)
            self._answer(message, [REPLY])

    return ExchangeSession(*arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], exchange_session))
