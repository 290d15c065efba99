# The playground server: an empty image with two static binaries.
#
#   make build
#   mkdir -p bin && cp "$(command -v kubectl)" bin/kubectl
#   docker build -t sqlflow/playground:latest .
#
# The kubectl must be static, as the released ones are, and at most one minor version
# away from the cluster's.
FROM scratch
COPY sqlflow_playground /usr/local/bin/sqlflow_playground
COPY bin/kubectl /usr/local/bin/kubectl
ENV PATH=/usr/local/bin HOME=/home/playground
USER 65532:65532
EXPOSE 50052 9998
ENTRYPOINT ["/usr/local/bin/sqlflow_playground"]
