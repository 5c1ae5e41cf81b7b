"""Names of spans and attributes, written out.

They follow OpenTelemetry's generative AI conventions, which are not stable yet; the package that carries them
marks them as moved, so nothing is imported from it.
"""

SEMCONV = "v1.41.1 + gen-ai-dev 066d4a7"

SPAN_BATCH = "edge.batch"
SPAN_CALL = "ai_api_call"  # the tutorial's name
SPAN_CHAT = "chat {model}"
SPAN_PUBLISH = "edge.publish"

# The tutorial's attributes, on ai_api_call.
AI_MODEL = "ai.model"
USER_ID = "user.id"
PROMPT_LENGTH = "prompt.length"
RESPONSE_LENGTH = "response.length"

# Generative AI, on the CLIENT span.
OPERATION_NAME = "gen_ai.operation.name"
OPERATION_CHAT = "chat"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_SEED = "gen_ai.request.seed"
OUTPUT_TYPE = "gen_ai.output.type"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
USAGE_INPUT = "gen_ai.usage.input_tokens"
USAGE_OUTPUT = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"  # opt-in
INPUT_MESSAGES = "gen_ai.input.messages"  # opt-in
OUTPUT_MESSAGES = "gen_ai.output.messages"  # opt-in
OPENAI_API_TYPE = "openai.api.type"
OPENAI_CHAT_COMPLETIONS = "chat_completions"
OPENAI_RESPONSE_SERVICE_TIER = "openai.response.service_tier"
OPENAI_SYSTEM_FINGERPRINT = "openai.response.system_fingerprint"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"

# Events.
EVENT_RETRY = "ai.retry"
RETRY_ATTEMPT = "attempt"
RETRY_DELAY_S = "delay_s"
HTTP_STATUS = "http.response.status_code"
EVENT_EVALUATION = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_SCORE = "gen_ai.evaluation.score.value"
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"

# Ours.
GATEWAY_ID = "edge.gateway.id"
BATCH_ID = "edge.batch.id"
BATCH_SIZE = "edge.batch.size"
BATCH_DEVICES = "edge.batch.device_count"
BATCH_DEVICE_IDS = "edge.batch.devices"
DEVICE_ID = "edge.device.id"
REQUEST_ID = "ai.request.id"
BATCH_TRIGGER = "edge.batch.trigger"
COST_USD = "ai.cost.usd"
CACHE_HIT = "ai.cache.hit"
BUDGET_REMAINING_USD = "ai.budget.remaining_usd"
VERDICT_STATUS = "ai.verdict.status"
VERDICT_SOURCE = "ai.verdict.source"  # mixed, where the windows differ
VERDICT_REASON = "ai.verdict.reason"  # as above
VERDICTS = "ai.verdicts"  # source/reason/status:windows
VALIDATION_FAILED = "ai.validation.failed"
REPAIRED = "ai.reply.repaired"
TOKENS_ESTIMATED = "ai.tokens.estimated"
SAFETY_FLAGS = "ai.safety.flags"
COST_ASSUMED_USD = "ai.cost.assumed_usd"  # part of the cost

# Messaging, on edge.publish.
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_OPERATION = "messaging.operation.type"
PROTOCOL_NAME = "network.protocol.name"
PROTOCOL_VERSION = "network.protocol.version"

#: Whether prompts and replies may be put on spans: NO_CONTENT | SPAN_ONLY | EVENT_ONLY | SPAN_AND_EVENT.
CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
