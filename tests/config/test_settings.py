"""Settings of the folders, made of more than one section."""

import pytest

from agent.ai.settings import AiSettings
from agent.config import Config
from agent.config.sections import ReviewSection
from agent.config.settings import of_batch, of_pipeline, of_site
from agent.prompt import NOTHING

KNOWLEDGE = {"freezer/*": "It defrosts every 12 h."}


@pytest.mark.parametrize("knowledge", [{}, KNOWLEDGE])
def test_knowledge_takes_no_room_until_it_is_shared(knowledge: dict[str, str]) -> None:
    """Batches are packed as without it."""
    config = Config(knowledge=knowledge)
    assert of_site(config) == NOTHING
    assert of_batch(config) == ReviewSection().batch


def test_shared_knowledge_takes_part_of_a_call() -> None:
    """Windows get what is left of ``max_input_tokens``."""
    config = Config(knowledge=KNOWLEDGE, ai=AiSettings(share="names"))
    assert of_site(config).facts
    assert of_batch(config).max_input_tokens < ReviewSection().batch.max_input_tokens
    assert of_pipeline(config, endpoint=True).batch == of_batch(config)
