# The trainer with the lm-evaluation-harness, for jobs with evaluation.tasks; the trainer's own image stays as it is.
# Build context: the repository's root. `docker build -f trainer_image/lm_eval.Dockerfile --build-arg TRAINER=IMAGE .`
ARG TRAINER=localhost/llmtrain-trainer:dev
FROM ${TRAINER}
COPY constraints.txt trainer_image/lm_eval.txt /build/
USER 0
RUN pip install --no-cache-dir -c /build/constraints.txt -r /build/lm_eval.txt && rm -rf /root/.cache /tmp/*
USER 1000:1000
