"""Log groups: every one is ours, so that none is kept for ever and none is left behind."""

from aws_cdk import RemovalPolicy, aws_logs
from constructs import Construct

from infra.settings import Settings

_RETENTION = {
    1: aws_logs.RetentionDays.ONE_DAY,
    3: aws_logs.RetentionDays.THREE_DAYS,
    5: aws_logs.RetentionDays.FIVE_DAYS,
    7: aws_logs.RetentionDays.ONE_WEEK,
    14: aws_logs.RetentionDays.TWO_WEEKS,
    30: aws_logs.RetentionDays.ONE_MONTH,
    60: aws_logs.RetentionDays.TWO_MONTHS,
    90: aws_logs.RetentionDays.THREE_MONTHS,
    180: aws_logs.RetentionDays.SIX_MONTHS,
    365: aws_logs.RetentionDays.ONE_YEAR,
}


def log_group(scope: Construct, id_: str, *, settings: Settings) -> aws_logs.LogGroup:
    """Make a log group that forgets after the setting's days and goes with the stack."""
    retention = _RETENTION[settings.log_days]
    return aws_logs.LogGroup(scope, id_, retention=retention, removal_policy=RemovalPolicy.DESTROY)
