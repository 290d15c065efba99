# The playground server: an empty image with two static binaries.
#
#   make lean
#   mkdir -p bin && cp "$(command -v kubectl)" bin/kubectl
#   docker build -t sqlflow/playground:latest .
#
# "make lean" leaves out the MySQL of demo and of --backend=embedded, which a server beside
# a cluster does not need: the program has 21 MB instead of 66, and takes some 20 MB of
# memory less.
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
