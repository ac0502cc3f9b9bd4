"""What `cdk` runs: read the settings and the manifest, wire the stack, say what it costs."""

import sys

from aws_cdk import App

from infra import bundling, cost, manifest, settings
from infra.plan import plan_queues
from infra.refusal import PREFIX, SynthRefused
from infra.stack import DurexStack


def main() -> None:
    """Synthesise the stack, or say in one sentence each why not."""
    app = App()
    try:
        chosen = settings.read(app.node.get_all_context())
        found = manifest.load(chosen)
        DurexStack(app, chosen.stack_name, settings=chosen, manifest=found, code=bundling.code(chosen))
    except SynthRefused as refused:
        sys.exit(str(refused))
    except RuntimeError as failed:
        sys.exit(_refused_while_bundling(failed))
    sys.stderr.write(cost.report(chosen, plan_queues(chosen, found)))  # the CLI keeps stdout for the template
    app.synth()


def _refused_while_bundling(failed: RuntimeError) -> str:
    """Return a refusal of ours that went through CDK, of which jsii leaves the text alone; raise any other error."""
    _, mark, reason = str(failed).partition(PREFIX)
    if not mark:
        raise failed
    return mark + reason


if __name__ == "__main__":
    main()
