"""The blocks between two heads."""

from rpc.methods.eth import changes
from tests.helpers.vectors import needs_vectors
from tests.rpc.heads import header

pytestmark = needs_vectors


def test_changes_between_heads(context):
    three, seven = header(context, 3), header(context, 7)
    forward = changes.between(context.blocks, three, seven)
    assert [h.number for h in forward.added] == [4, 5, 6, 7]
    assert not forward.removed
    back = changes.between(context.blocks, seven, three)
    assert [h.number for h in back.removed] == [7, 6, 5, 4]
    assert not back.added
    assert changes.between(context.blocks, three, three) == changes.Changes([], [])
