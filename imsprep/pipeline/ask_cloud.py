"""What bucket and service are asked before anything is made or sent, and by what a dry run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from imsprep.cloud.credentials import NoCredentialsError
from imsprep.errors import TransferError, UsageError
from imsprep.ims.region import RegionFacts, RegionService, look_at_region
from imsprep.ims.submit import patiently
from imsprep.ims.wait import PollPolicy
from imsprep.store.bucket import BucketFacts, BucketQuestion, look_at_bucket
from imsprep.store.contract import ObjectStore
from imsprep.store.retry import RetryingStore, RetryPolicy
from imsprep.store.target import Target


@dataclass(frozen=True)
class AskBucket:
    """Asks the bucket of a target for the keys of one image; called by `check_import.examine`.

    Refusals and lost answers are raised, after all tries of `retry`. A dry run, and a check
    without it, is lenient: what it may not or cannot ask is said by `log`, and None is returned.
    """

    target: Target
    open_store: Callable[[], ObjectStore]
    retry: RetryPolicy | None = None  # None: one attempt, and refusals become facts
    replace: bool = False  # no object counts as foreign
    dry_run: bool = False
    log: Callable[[str], object] = field(default=lambda news: None, repr=False)

    def __call__(
        self, key: str, *, more_keys: Sequence[str] = (), origin: str
    ) -> BucketFacts | None:
        """Return what the bucket says; see `look_at_bucket`."""
        if not self.dry_run:
            return self._ask(key, more_keys, origin)
        if self.target.folder is None and self.target.region is None:
            why = "its region is not given"
        else:
            try:
                return self._ask(key, more_keys, origin)
            except NoCredentialsError:
                why = "there are no credentials"
            except (TransferError, UsageError) as error:
                why = str(error)
        self.log(f"the bucket was not checked: {why}")
        return None

    def _ask(self, key: str, more_keys: Sequence[str], origin: str) -> BucketFacts:
        store = self.open_store()
        if self.retry is not None and not self.dry_run:
            store = RetryingStore(store, self.retry)
        local = self.target.folder is not None
        question = BucketQuestion(
            self.target.bucket,
            key,
            more_keys=more_keys,
            origin=None if self.replace else origin,
            region=self.target.region,
            try_write=self.retry is not None and not self.dry_run and not local,
        )
        return look_at_bucket(store, question, strict=self.retry is not None)


@dataclass(frozen=True)
class AskService:
    """Asks the image service about an import that nothing was asked of yet.

    That it lists images is needed: ServiceError or, after the pace's limit, TransferError if not.
    What else it does not tell becomes a fact. A dry run is lenient, as with the bucket.
    """

    connect: Callable[[], AbstractContextManager[RegionService]]
    pace: PollPolicy
    dry_run: bool = False
    log: Callable[[str], object] = field(default=lambda news: None, repr=False)

    def __call__(self, name: str) -> RegionFacts | None:
        """Return what the service says, for an image of this name."""
        try:
            with self.connect() as client:
                pace = self.pace.started()
                if not self.dry_run:
                    patiently(partial(client.images, name), pace)
                return look_at_region(client, name, limit_s=max(0.0, pace.end - pace.clock()))
        except UsageError as error:
            if not self.dry_run:
                raise
            self.log(f"the image service was not checked: {error}")
            return None
