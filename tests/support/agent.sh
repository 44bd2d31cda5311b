#!/bin/sh
# Stands in for the processes by which Ray watches a node: tells the ports it was given, and stays.
for given in "$@"; do
    value=${given#*=}
    case "$given" in
        --node-id=*) node=$value ;;
        --session-dir=*) folder=$value ;;
        --grpc-port=*) metrics=$value ;;
        --metrics-export-port=*) export=$value ;;
        --listen-port=*) listen=$value ;;
        --runtime-env-agent-port=*) runtime=$value ;;
    esac
done
tell() {
    printf %s "$2" > "$folder/.$1.$$" && mv "$folder/.$1.$$" "$folder/$1_$node"
}
if [ -n "$metrics" ]; then
    tell metrics_agent_port "$metrics"
    tell metrics_export_port "$export"
    tell dashboard_agent_listen_port "$listen"
else
    tell runtime_env_agent_port "$runtime"
fi
exec sleep 100000
