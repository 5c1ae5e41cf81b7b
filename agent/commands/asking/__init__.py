"""Parts of ``ask``: devices and time of a question, and the facts about them."""
