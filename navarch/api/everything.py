"""Every built-in kind, in the order in which discovery lists groups."""

from __future__ import annotations

from navarch.api.apiextensions import customresourcedefinition
from navarch.api.apps import controllerrevision, daemonset, deployment, replicaset, statefulset
from navarch.api.authentication import reviews as authentication_reviews
from navarch.api.authorization import reviews as authorization_reviews
from navarch.api.batch import cronjob, job
from navarch.api.coordination import lease
from navarch.api.core import (
    configmap,
    endpoints,
    event,
    namespace,
    node,
    pod,
    replicationcontroller,
    secret,
    service,
    serviceaccount,
)
from navarch.api.discovery import endpointslice
from navarch.api.kind import Kind
from navarch.api.networking import ingress, ingressclass, ipaddress, networkpolicy, servicecidr
from navarch.api.policy import poddisruptionbudget
from navarch.api.scheduling import priorityclass

KINDS: tuple[Kind, ...] = (
    configmap.KIND,
    endpoints.KIND,
    event.KIND,
    namespace.KIND,
    node.KIND,
    pod.KIND,
    replicationcontroller.KIND,
    secret.KIND,
    serviceaccount.KIND,
    service.KIND,
    deployment.KIND,
    replicaset.KIND,
    daemonset.KIND,
    statefulset.KIND,
    controllerrevision.KIND,
    authentication_reviews.TOKEN_REVIEW,
    authentication_reviews.SELF_SUBJECT_REVIEW,
    authorization_reviews.SELF_SUBJECT_ACCESS_REVIEW,
    authorization_reviews.SUBJECT_ACCESS_REVIEW,
    authorization_reviews.LOCAL_SUBJECT_ACCESS_REVIEW,
    job.KIND,
    cronjob.KIND,
    poddisruptionbudget.KIND,
    ingress.KIND,
    ingressclass.KIND,
    ipaddress.KIND,
    networkpolicy.KIND,
    servicecidr.KIND,
    priorityclass.KIND,
    lease.KIND,
    endpointslice.KIND,
    customresourcedefinition.KIND,
)
