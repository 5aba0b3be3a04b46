"""The policy of an upload is what its options say."""

from __future__ import annotations

from imsprep.options import ImportOptions, TransferOptions, UploadOptions
from imsprep.upload.values import TransferPolicy


def test_the_defaults_are_those_of_the_options() -> None:
    assert TransferPolicy.of(TransferOptions()) == TransferPolicy()


def test_each_option_arrives() -> None:
    options = UploadOptions(jobs=2, bytes_per_s=5.0, retry_for_s=7.0, replace=True, force=True)
    policy = TransferPolicy.of(options)
    assert (policy.jobs, policy.bytes_per_s, policy.retry.limit_s) == (2, 5.0, 7.0)
    assert (policy.replace, policy.skip_same) == (True, False)


def test_an_import_never_sends_the_same_object_again() -> None:
    assert TransferPolicy.of(ImportOptions(to="local:x", replace=True)).skip_same
