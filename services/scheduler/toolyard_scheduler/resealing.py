"""Seals secrets anew that older keys have sealed: once, in batches, when a scheduler starts.

Several may do so at once: each secret is sealed anew by one of them, and one that is set meanwhile keeps its new value.
"""

import asyncio
from typing import Final

from toolyard.errors import StoreUnavailable
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Resealed, Vault
from toolyard.telemetry.logs import logger

#: Seconds before another try, where the database is away.
_PAUSE: Final = 5.0
log = logger("secrets")


async def reseal(vault: Vault, crossing: Crossing) -> None:
    """Seal all of them anew, and note what came of it."""
    done = Resealed()
    while True:
        try:
            done.add(await crossing.run(vault.reseal, after=done.after))
        except StoreUnavailable as error:
            log.warning("secrets are sealed anew later", reason=str(error))
            await asyncio.sleep(_PAUSE)
        else:
            if done.after is None:
                break
    if done.count:
        log.info("secrets were sealed anew", count=done.count)
    if done.unreadable:
        log.error("secrets cannot be opened: keys are missing in TOOLYARD_SECRETS_KEY", key_ids=done.unreadable)
    if done.damaged:
        log.error("secrets cannot be opened by their keys: set them anew", secrets=done.damaged)
