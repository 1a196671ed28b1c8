{{- define "operator.labels" -}}
app.kubernetes.io/name: llm-training-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "operator.webLabels" -}}
app.kubernetes.io/name: llm-training-operator-web
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "operator.name" -}}llm-training-operator{{- end }}
{{- /* Objects without a namespace, and those in the namespace that is watched: one set for each release. */ -}}
{{- define "operator.scopedName" -}}llm-training-operator-{{ .Release.Namespace }}{{- end }}
{{- define "operator.metricsNamespace" -}}
{{- $pairs := list }}
{{- range $key, $value := .Values.networkPolicy.metricsNamespace }}{{ $pairs = append $pairs (printf "%s=%s" $key $value) }}{{ end }}
{{- join "," $pairs }}
{{- end }}
{{- /* As JSON in a quoted YAML text; Kubernetes expands $(NAME) in arguments, and takes $$ for a $. */ -}}
{{- define "operator.workerDefaults" -}}
{{- $set := dict }}
{{- range $name := list "nodeSelector" "tolerations" "imagePullSecrets" "priorityClassName" "annotations" }}
{{- with index $.Values.trainer $name }}{{ $_ := set $set $name . }}{{ end }}
{{- end }}
{{- printf "--worker-defaults=%s" (toRawJson $set | replace "$" "$$") | toRawJson }}
{{- end }}
{{- define "operator.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}
{{- /* What Pod Security's profile "restricted" asks of a pod; the containers say the rest. */ -}}
{{- define "operator.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ int . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "operator.testLabels" -}}
app.kubernetes.io/name: llm-training-operator-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "operator.tlsSecret" -}}llm-training-operator-tls{{- end }}
