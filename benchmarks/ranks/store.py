"""The key-value store that all ranks of a run share.

Horovod's rendezvous needs such a store anyway. It works before a framework starts its threads, and it still
works when the ranks can no longer exchange messages. A value is any object that can be pickled:

=========== ===================== =====================================================
Scope       Key                   Value
=========== ===================== =====================================================
``here``    rank                  ``True`` once the rank has started
``here``    ``all``               ``True`` once all ranks have started
``address`` node                  address of the node, a text
``cores``   ``NODE.LOCAL_RANK``   list of the cores that the rank may use
``near``    ``NODE.LOCAL_RANK``   list of the cores that are nearest to the rank's GPU
``ready``   node                  ``True`` once the node has done a ``World.rank_0_first``
``agreed``  key of the caller     list of the one value of a ``World.broadcast_value``
``end``     rank                  its ``Ending``
=========== ===================== =====================================================
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

POLL_SECONDS = 0.1


class KeyValueStore(ABC):
    """Keys and values that every rank of a run reads and writes."""

    @abstractmethod
    def put(self, scope: str, key: object, value: object) -> None:
        """Stores a value.

        Raises:
            RunFailedError: The store does not answer any more.
        """

    @abstractmethod
    def get(self, scope: str, key: object) -> Any:
        """Returns a value, or None where nobody has stored one yet.

        Raises:
            RunFailedError: The store does not answer any more.
        """

    def wait(self, scope: str, key: object) -> Any:
        """Waits until somebody has stored a value, and returns it.

        Raises:
            RunFailedError: The store does not answer any more.
        """
        while (value := self.get(scope, key)) is None:
            time.sleep(POLL_SECONDS)
        return value
