{{- define "operator.labels" -}}
app.kubernetes.io/name: llm-training-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "operator.name" -}}llm-training-operator{{- end }}
{{- define "operator.tlsSecret" -}}llm-training-operator-tls{{- end }}
